use prometheus_client::registry::Registry;

/// The media type of [`exposition`]: `OpenMetrics` 1.0 text, which Prometheus scrapes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The whole registry as the text of a `/metrics` page.
pub fn exposition(registry: &Registry) -> String {
    let mut page = String::new();
    // Writing into a `String` fails only when a collector reports an error of its own.
    if prometheus_client::encoding::text::encode(&mut page, registry).is_err() {
        tracing::error!("a metrics collector failed; the metrics page is cut short");
    }
    page
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn the_page_holds_what_was_registered() {
        let mut registry = Registry::default();
        let counter: Counter = Counter::default();
        registry.register("tidegate_test_things", "Things", counter.clone());
        counter.inc_by(3);
        let page = exposition(&registry);
        assert!(page.contains("tidegate_test_things_total 3\n"), "{page}");
        assert!(page.ends_with("# EOF\n"));
    }
}
