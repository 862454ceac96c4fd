"""nearfar inside other libraries' training loops; each module here needs the library that it is named after."""
