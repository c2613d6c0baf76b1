//! Wires everything together.
