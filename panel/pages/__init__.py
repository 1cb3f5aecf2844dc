"""The files of the pages: from memory, each page's modules as one."""
