"""Where Enactor keeps what it knows: one package per backend, each with the same promises (`ports.store`)."""
