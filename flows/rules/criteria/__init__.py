"""Exit criteria: kinds of evidence, how they are judged, and the smallest set of facts that meets them."""
