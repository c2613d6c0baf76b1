use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
    registry::Registry,
};
use tokio::runtime::Handle;

/// What the async runtime says of itself at each scrape.
#[derive(Debug, Clone, Copy, Default)]
pub struct RuntimeMetrics;

impl RuntimeMetrics {
    pub fn register(self, registry: &mut Registry) {
        registry.register_collector(Box::new(self));
    }
}

impl Collector for RuntimeMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        // Outside a runtime there are no tasks.
        let Ok(runtime) = Handle::try_current() else {
            return Ok(());
        };
        let alive = runtime.metrics().num_alive_tasks();
        let tasks = ConstGauge::new(i64::try_from(alive).unwrap_or(i64::MAX));
        tasks.encode(encoder.encode_descriptor(
            "tidegate_telemetry_tasks",
            "Tasks of the async runtime that have not ended",
            None,
            MetricType::Gauge,
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_page_shows_how_many_tasks_live() {
        let mut registry = Registry::default();
        RuntimeMetrics.register(&mut registry);
        let shown = || super::super::exposition(&registry);
        let before = shown();
        assert!(
            before.contains("\ntidegate_telemetry_tasks 0\n"),
            "{before}"
        );
        let (_end, ended) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(ended);
        assert!(shown().contains("\ntidegate_telemetry_tasks 1\n"));
    }
}
