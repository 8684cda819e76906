"""Grading from outside: a student's code runs in a process of its own, and only data go in and out.

hand_ins.py   what was handed in, made into a notebook that can be graded, or the reason why not
answers.py    the lecturer's side of a student's process: call a function there, and get data back
worker.py     the student's side: runs cells and calls, under limits; it knows no test and no reference answer
data.py       what may pass between the two
parts/        one module a problem set: what each part must do. Never released, and never read by the other side
grade.py      a hand-in -> points and a sentence for each part
batch.py      a whole class, side by side; nbgrader reads what it writes (`python -m grading ps1`)
"""
