"""The lifecycle stages, one folder and one image each; they meet only in `loopline.components.contract`."""
