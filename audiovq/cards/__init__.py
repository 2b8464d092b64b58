"""Model cards: `README.md` beside a model, in the layout of the Hugging Face hub.

words     what a person says: what it is for, its limits, its licence
figures   tables of what `audiovq evaluate`, `evaluate-units` and `score` measured
training  how it was trained, read from its run folder
front     the YAML at the top, read again by `audiovq.models()`
page      all of it as one text
"""
