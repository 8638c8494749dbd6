"""The gateway: MQTT in, sealed shares out. Runs at an organisation; sees its readings, nobody else's."""
