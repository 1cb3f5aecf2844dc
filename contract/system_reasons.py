"""The operating system's reasons in Chinese: what strerror(3) says, which Python has in English alone."""

import errno
import os

_TEXTS = {
    errno.EPERM: "操作不被允许",
    errno.ENOENT: "文件或目录不存在",
    errno.EIO: "输入/输出错误",
    errno.ENOEXEC: "可执行文件格式错误",
    errno.ENOMEM: "无法分配内存",
    errno.EACCES: "权限不足",
    errno.EBUSY: "设备或资源忙",
    errno.EEXIST: "文件已存在",
    errno.ENOTDIR: "不是目录",
    errno.EISDIR: "是一个目录",
    errno.EINVAL: "无效的参数",
    errno.ENFILE: "系统中打开的文件过多",
    errno.EMFILE: "打开的文件过多",
    errno.EFBIG: "文件过大",
    errno.ENOSPC: "磁盘空间不足",
    errno.EROFS: "文件系统只读",
    errno.EPIPE: "管道已断开",
    errno.ENAMETOOLONG: "文件名过长",
    errno.ENOTEMPTY: "目录非空",
    errno.ELOOP: "符号链接层数过多",
    errno.EADDRINUSE: "地址已被占用",
    errno.EADDRNOTAVAIL: "本机没有这个地址",
    errno.ENETUNREACH: "网络不可达",
    errno.ECONNABORTED: "连接已中止",
    errno.ECONNRESET: "连接被对方重置",
    errno.ETIMEDOUT: "连接超时",
    errno.ECONNREFUSED: "连接被拒绝",
    errno.EHOSTUNREACH: "没有到该主机的路由",
    errno.ESTALE: "文件句柄已失效",
    errno.EDQUOT: "超出磁盘配额",
}
_OF_NAMES = {
    "Name or service not known": "未知的主机名",
    "No address associated with hostname": "该主机名没有地址",
    "Temporary failure in name resolution": "域名解析暂时失败",
}
"""Of getaddrinfo(3)."""
CHINESE = {os.strerror(number): text for number, text in _TEXTS.items()} | _OF_NAMES


def in_chinese(reason: object) -> str:
    """Return a reason in Chinese; one that is none of the system's as it is."""
    text = str(reason)
    return CHINESE.get(text, text)
