"""Drawing of label maps: colours, overlay, legend, names on regions, fonts for any script."""
