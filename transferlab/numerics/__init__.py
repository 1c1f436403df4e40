"""Optimisation problems that no library of the dependencies solves: plain functions of tensors."""
