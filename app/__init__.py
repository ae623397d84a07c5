"""The chart repository: doors, work, pipes and rules; see the README's picture of the house."""
