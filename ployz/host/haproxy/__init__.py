"""HAProxy as the gateway of a machine: configuration text, its runtime commands, and the driver that uses both."""
