"""The gateway: MQTT in, sealed shares out. Runs at an organisation; sees that organisation's readings, nobody else's."""
