"""Many studies: variants, surrogates, clusters, workers and seeds, from a file."""
