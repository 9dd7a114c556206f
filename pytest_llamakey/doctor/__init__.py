"""What ``doctor`` looks for beside the machine's programs: the images of a folder's deployments."""
