"""Other people's pickles (.pkl, .pt, .pth, .ckpt, .bin) read without running them: an interpreter of our own, which imports nothing."""
