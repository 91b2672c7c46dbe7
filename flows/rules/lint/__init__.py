"""What is wrong with a process file: required, factual, inspectable, buyer-centric."""
