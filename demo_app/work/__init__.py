"""Everything the demo computes: plain functions of models and recordings, without a browser.

Long work is a generator, which stops when it is closed. What a visitor can cause and fix raises an
error of `audiovq.errors`.
"""
