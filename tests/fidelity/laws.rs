//! Laws with a story each.
