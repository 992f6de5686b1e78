using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;

namespace Genfence.Native;

/// <summary>
/// What the native library logs, which it does for the whole process, goes to the loggers of all open caches, once to
/// each factory. It comes on a thread that does nothing else.
/// </summary>
internal static unsafe partial class NativeLog
{
    private const int Off = 0, Error = 1, Warning = 2, Info = 3, Debug = 4;

    private static readonly object s_gate = new();
    private static readonly Dictionary<ILoggerFactory, (ILogger Logger, int Caches)> s_users = [];

    // Replaced as a whole, as the log's thread reads it without the lock.
    private static ILogger[] s_loggers = [];

    public static void Add(ILoggerFactory factory)
    {
        lock (s_gate)
        {
            var (logger, caches) = s_users.TryGetValue(factory, out var known)
                ? known
                : (factory.CreateLogger("Genfence.Native"), 0);
            s_users[factory] = (logger, caches + 1);
            Changed();
        }
    }

    /// <summary>May wait for lines that are being written.</summary>
    public static void Remove(ILoggerFactory factory)
    {
        lock (s_gate)
        {
            var (logger, caches) = s_users[factory];
            if (caches == 1)
            {
                _ = s_users.Remove(factory);
            }
            else
            {
                s_users[factory] = (logger, caches - 1);
            }
            Changed();
        }
    }

    private static void Changed()
    {
        ILogger[] loggers = [.. s_users.Values.Select(user => user.Logger)];
        // Who comes hears from now on. Who goes hears what was said before: it is written when gf_log_set returns.
        Volatile.Write(ref s_loggers, [.. s_loggers.Union(loggers)]);
        var level = loggers.Length == 0 ? Off
            : loggers.Any(logger => logger.IsEnabled(LogLevel.Debug)) ? Debug
            : Warning;
        // Where the process has a log of its own for Rust, the lines are there.
        _ = Methods.gf_log_set(level, level == Off ? null : &Write, null);
        Volatile.Write(ref s_loggers, loggers);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Write(int level, byte* message, void* _)
    {
        try
        {
            var text = Marshal.PtrToStringUTF8((nint)message) ?? "";
            if (text == Reservation.Left)
            {
                // The reservation itself has said so, as a warning, and to the logger of its own cache.
                return;
            }
            foreach (var logger in Volatile.Read(ref s_loggers))
            {
                Line(logger, level switch
                {
                    Error => LogLevel.Error,
                    Warning => LogLevel.Warning,
                    Info => LogLevel.Information,
                    _ => LogLevel.Debug,
                }, text);
            }
        }
#pragma warning disable CA1031 // A logger that throws must not end the process.
        catch (Exception)
#pragma warning restore CA1031
        {
        }
    }

    [LoggerMessage(EventId = 3, Message = "{Text}")]
    private static partial void Line(ILogger logger, LogLevel level, string text);
}
