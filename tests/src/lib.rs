//! Tests that cross module or process borders live in `tests/`.
