"""The process that stays with one launch. Standard library, contract and engines only."""
