"""Where calls come in: each door takes its protocol's calls and puts their media into playouts."""
