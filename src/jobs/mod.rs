//! The durable job engine: queue, dispatcher, worker pool, schedules and logs.
