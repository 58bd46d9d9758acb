"""How the tiny weights of Text2Video-Zero's room are made: a model of pictures, one of edits, one of edges."""
