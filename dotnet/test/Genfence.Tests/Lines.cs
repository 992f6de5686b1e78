using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace Genfence.Tests;

/// <summary>What was logged.</summary>
internal sealed class Lines : ILoggerFactory, ILogger
{
    public LogLevel Least { get; init; } = LogLevel.Information;

    public ConcurrentQueue<string> Written { get; } = [];

    public void AddProvider(ILoggerProvider provider) { }

    public ILogger CreateLogger(string categoryName) => this;

    public void Dispose() { }

    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= Least;

    public void Log<TState>(
        LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        Written.Enqueue(formatter(state, exception));
}
