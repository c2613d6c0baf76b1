use std::{fmt, fs};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

/// Memory, processor time, open files and start of this process, under the names that every
/// Prometheus client library uses (`process_…`), read from `/proc` at each scrape.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessMetrics;

impl ProcessMetrics {
    pub fn register(self, registry: &mut Registry) {
        registry.register_collector(Box::new(self));
    }
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        // Off Linux, or where /proc is hidden, the page simply lacks these lines.
        if let Some(usage) = fs::read_to_string("/proc/self/stat")
            .ok()
            .and_then(|stat| Usage::parse(&stat))
        {
            usage.encode(&mut encoder)?;
        }
        let gauges = [
            ("process_open_fds", "Open file descriptors", open_files()),
            (
                "process_max_fds",
                "Most file descriptors that may be open",
                open_files_limit(),
            ),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                gauge(&mut encoder, name, help, value)?;
            }
        }
        Ok(())
    }
}

/// What `/proc/self/stat` says (proc(5)).
struct Usage {
    cpu_seconds: f64,
    /// Seconds between the machine's boot and the start of the process.
    started_after_boot: f64,
    resident_bytes: u64,
}

impl Usage {
    fn parse(stat: &str) -> Option<Self> {
        // The second field is the program's name in parentheses and may hold spaces.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - FIRST_FIELD).copied();
        let ticks = |number| field(number)?.parse::<f64>().ok();
        Some(Self {
            cpu_seconds: (ticks(14)? + ticks(15)?) / TICKS_PER_SECOND,
            started_after_boot: ticks(22)? / TICKS_PER_SECOND,
            resident_bytes: field(24)?.parse::<u64>().ok()? * PAGE_BYTES,
        })
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let cpu = ConstCounter::new(self.cpu_seconds);
        cpu.encode(encoder.encode_descriptor(
            "process_cpu_seconds",
            "Processor time used by user and system",
            None,
            MetricType::Counter,
        )?)?;
        gauge(
            encoder,
            "process_resident_memory_bytes",
            "Resident memory",
            i64::try_from(self.resident_bytes).unwrap_or(i64::MAX),
        )?;
        let Some(boot) = boot_time() else {
            return Ok(());
        };
        let start = ConstGauge::new(boot + self.started_after_boot);
        start.encode(encoder.encode_descriptor(
            "process_start_time_seconds",
            "Start of the process, in seconds since the Unix epoch",
            None,
            MetricType::Gauge,
        )?)
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: i64,
) -> Result<(), fmt::Error> {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn open_files() -> Option<i64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the directory being read.
    i64::try_from(entries.saturating_sub(1)).ok()
}

fn open_files_limit() -> Option<i64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

/// proc(5) counts fields from one; after the program's name comes the third.
const FIRST_FIELD: usize = 3;
/// `USER_HZ`, which Linux has fixed at 100 for what it shows to programs.
const TICKS_PER_SECOND: f64 = 100.0;
/// The page size of the platforms Tidegate is built for (`x86_64`, and `aarch64` as distributed).
const PAGE_BYTES: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_spaces_and_parentheses_is_skipped() {
        let stat = "7 (a ) b) S 1 1 1 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 9 0 4200 1000 25 99";
        let usage = Usage::parse(stat).unwrap();
        assert!((usage.cpu_seconds - 2.0).abs() < 1e-9);
        assert!((usage.started_after_boot - 42.0).abs() < 1e-9);
        assert_eq!(usage.resident_bytes, 25 * 4096);
    }

    #[test]
    fn the_page_shows_this_process() {
        let mut registry = Registry::default();
        ProcessMetrics.register(&mut registry);
        let page = super::super::exposition(&registry);
        for name in [
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_max_fds",
            "process_start_time_seconds",
        ] {
            let line = page
                .lines()
                .find(|line| line.starts_with(&format!("{name} ")));
            let value = line.unwrap_or_else(|| panic!("{name} is missing in {page}"));
            let value: f64 = value.rsplit(' ').next().unwrap().parse().unwrap();
            assert!(value > 0.0 || name == "process_cpu_seconds_total", "{page}");
        }
    }
}
