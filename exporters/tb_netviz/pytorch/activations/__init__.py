"""What the layers of a watched model put out at observed steps: found, measured, and told apart."""
