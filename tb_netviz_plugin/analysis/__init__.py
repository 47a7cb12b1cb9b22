"""Pure functions on arrays: aligning records, merging parameters into layers, stating facts."""
