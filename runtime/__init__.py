"""What every role needs to run and none decides: configuration files, logs, health pages, Kafka, the Faust fold."""
