"""Grading from outside: a student's code runs in a process of its own, and only data go in and out.

hand_ins.py   what was handed in, made into a notebook that can be graded, or the reason why not
answers.py    the lecturer's side of a student's process: call a function there, and get data back
worker.py     the student's side: runs cells and calls, under limits; it knows no test and no reference answer
data.py       what may pass between the two
parts/        one module a problem set: what each part must do. Never released, and never read by the other side
grade.py      a hand-in -> points and a sentence for each part
archives.py   what a learning platform's zip holds, put where hand-ins are looked for
batch.py      a whole class, side by side, a table and a CSV (`python -m grading ps1`)
gradebook.py  nbgrader's gradebook: it gets what was graded, and gives back the points given by hand
walls.py      what a student's process cannot do, said by the kernel of Linux
ready.py      what all students' processes have imported already
"""
