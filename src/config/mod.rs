//! The whole configuration, composed of the rooms' own sections.
