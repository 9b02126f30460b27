"""Reading Android application packages: what is in one, and whether it is whole (steps 8 and 9).

`package.read_apk` is the way in. Formats are those of AOSP (libs/androidfw/include/androidfw/ResourceTypes.h and
the page "APK Signature Scheme v2"); only what a step or a simulated phone asks for is read, and every length that
a file states is checked against the bytes that are there.
"""
