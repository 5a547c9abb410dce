"""Waveforms: vibration and sound as a data acquisition system writes them to a directory, or an OPC UA server shows them as arrays
(`collectors.poll.waveforms`); band energies go to the brain as readings.

`read` opens files that somebody else wrote, `bands` makes features of samples (pure), `watch` is the process.
"""
