//! Archives of charts, packed or not yet: reading a file of one ends, and gives a file that is in
//! it.

#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use tidegate::inventory::fuzzing::chart_file;

fuzz_target!(|data: &[u8]| {
    // As it is, and as an archive whose packing is in order.
    let _ = chart_file(data, "values.yaml");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    packed.write_all(data).expect("memory");
    let packed = packed.finish().expect("memory");
    if let Ok(Some(file)) = chart_file(&packed, "values.yaml") {
        let is_inside = file.is_empty() || data.windows(file.len()).any(|window| window == file);
        // A sparse file has holes that the archive has not.
        let is_sparse = data.iter().any(|byte| *byte == b'S');
        assert!(is_inside || is_sparse);
    }
});
