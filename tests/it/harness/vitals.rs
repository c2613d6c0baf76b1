use std::{fs, path::PathBuf, process::Command};

/// What the kernel knows of a process.
#[derive(Debug, Clone, Copy)]
pub struct Vitals(pub u32);

impl Vitals {
    /// What each file descriptor stands for, sorted.
    pub fn open_files(self) -> Vec<String> {
        let descriptors = fs::read_dir(self.path("fd")).unwrap();
        // One that is closed meanwhile leads nowhere.
        let links = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        let mut links: Vec<String> = links.map(|link| link.display().to_string()).collect();
        links.sort();
        links
    }

    /// How many files it may have open from now on.
    pub fn allow_files(self, number: usize) {
        let mut limit = Command::new("prlimit");
        limit.args(["--pid", &self.0.to_string()]);
        let output = limit.arg(format!("--nofile={number}:")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// User and system time, which proc(5) has in hundredths of a second.
    pub fn cpu_seconds(self) -> f64 {
        let stat = fs::read_to_string(self.path("stat")).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks = fields.split_whitespace().skip(11).take(2);
        ticks
            .map(|ticks| ticks.parse::<f64>().unwrap())
            .sum::<f64>()
            / 100.0
    }

    pub fn threads(self) -> usize {
        fs::read_dir(self.path("task")).unwrap().count()
    }

    pub fn resident_kib(self) -> u64 {
        let status = fs::read_to_string(self.path("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap()
    }

    fn path(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.0)).join(name)
    }
}
