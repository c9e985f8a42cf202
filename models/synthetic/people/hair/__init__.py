"""Everything that grows: hair of all styles, brows, lashes and beards, as strands; how they are drawn and shaded."""
