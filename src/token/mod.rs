//! The token service: keys, signing, `/service/token`.
