"""`python -m grading ps1` grades everything in submitted/ and hands it to nbgrader."""

if __name__ == "__main__":  # a student's process imports this file by another name, and must get nothing from it
    from grading.batch import main

    main()
