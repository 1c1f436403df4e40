"""What finished runs say together: sweeps, tables and the forms they are shown in, all functions of records."""
