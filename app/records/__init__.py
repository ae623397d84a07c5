"""What a change is: rows and the ledger's line for it, written together. All that changes the store goes through here.

Each function works inside of a transaction. What may be changed, and when, is decided in `app/services`.
"""
