"""Page in a browser: segment uploaded images with several methods (`ovss demo --web`)."""
