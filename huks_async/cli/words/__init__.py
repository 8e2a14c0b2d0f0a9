"""The words of the command line that several commands share: options, key parameters, purposes."""
