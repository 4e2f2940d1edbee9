"""An app whose snapshots publish to their own channel while they are made, which is the worst time for it."""
