"""The real servers that the end-to-end tests run against: mosquitto, Apache Kafka and InfluxDB, without Docker."""
