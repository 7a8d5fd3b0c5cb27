"""Reports: known answers, worked by hand."""
