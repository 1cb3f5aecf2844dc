"""The known causes of failures: one table for each engine, and for what engines have in common.

The keeper imports the tables only when its server has ended.
"""
