"""Pure functions from records to what the tab shows. They know the schema and nothing else of ours."""
