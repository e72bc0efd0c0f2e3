"""Bad input for every reader: mutations of valid input, and what was never any.

``python -m tests.fuzz --count 50000`` reads that many. Whatever it is, a reader takes it, and what
it made of it works; or it raises one `HbsimError` whose text is one line. Anything else is a finding:
another exception or warning, a process that ends, a case that takes too long.
"""
