"""An app with listeners, and the settings of a project that has it: it runs beside a server, and is none."""
