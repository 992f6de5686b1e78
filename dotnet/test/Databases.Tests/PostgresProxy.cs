using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Genfence.Tests.Databases;

/// <summary>Where a connection is cut.</summary>
public enum Cut
{
    /// <summary>What is waited for does not reach the server.</summary>
    Before,

    /// <summary>The client is cut off, and the server hears of it a moment later.</summary>
    At,

    /// <summary>A part of the answer is there, and the client is gone before the rest is.</summary>
    Within,

    /// <summary>The server has answered, and the answer is held back until the client is cut off.</summary>
    After,
}

/// <summary>Stands between clients and PostgreSQL, and cuts or holds what is told.</summary>
public sealed class PostgresProxy : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _end = new();
    private readonly List<Socket> _sockets = [];
    private readonly int _target;
    private readonly Task _accepting;
    private Func<string, Passing, Task>? _looking;

    public PostgresProxy(int target)
    {
        _target = target;
        _listener.Start();
        _accepting = AcceptAsync();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>How often what was waited for came by.</summary>
    public int Seen { get; private set; }

    /// <summary>Cuts the connection when this text comes by, so many times.</summary>
    public void CutAt(string text, Cut cut, int times = 1) => _looking = async (sent, passing) =>
    {
        if (!sent.Contains(text, StringComparison.Ordinal))
        {
            await passing.ForwardAsync();
            return;
        }
        if (++Seen > times)
        {
            await passing.ForwardAsync();
            return;
        }
        if (cut == Cut.Within)
        {
            passing.IsCutByAnswer = true;
            await passing.ForwardAsync();
            return;
        }
        if (cut != Cut.Before)
        {
            passing.IsMute = true;
            if (cut == Cut.At)
            {
                // Time enough to believe that nothing was done, and to read.
                passing.CutClient();
                await Task.Delay(100);
                await passing.ForwardAsync();
                await passing.AnsweredAsync();
            }
            else
            {
                await passing.ForwardAsync();
                await passing.AnsweredAsync();
                await Task.Delay(100);
            }
        }
        passing.CutBoth();
    };

    /// <summary>What is to be done once the server has answered this text, and before the client hears of it.</summary>
    public void Answered(string text, Action then) => _looking = async (sent, passing) =>
    {
        passing.IsMute = sent.Contains(text, StringComparison.Ordinal);
        await passing.ForwardAsync();
        if (passing.IsMute)
        {
            await passing.AnsweredAsync();
            Seen++;
            then();
        }
    };

    /// <summary>Holds this text back, once, until the task is over.</summary>
    public void Hold(string text, Func<Task> until) => _looking = async (sent, passing) =>
    {
        if (sent.Contains(text, StringComparison.Ordinal) && Seen++ == 0)
        {
            await until();
        }
        await passing.ForwardAsync();
    };

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        _listener.Dispose();
        await _accepting;
        lock (_sockets)
        {
            _sockets.ForEach(socket => socket.Dispose());
        }
        _end.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                var client = await _listener.AcceptSocketAsync(_end.Token);
                var server = new Socket(SocketType.Stream, ProtocolType.Tcp);
                await server.ConnectAsync(new IPEndPoint(IPAddress.Loopback, _target), _end.Token);
                (client.NoDelay, server.NoDelay) = (true, true);
                lock (_sockets)
                {
                    _sockets.AddRange(client, server);
                }
                var passing = new Passing(client, server);
                _ = PassAsync(passing);
                _ = passing.AnswerAsync();
            }
        }
        catch (Exception problem) when (problem is OperationCanceledException or ObjectDisposedException or SocketException)
        {
            // It is over.
        }
    }

    private async Task PassAsync(Passing passing)
    {
        try
        {
            while (await passing.ReadAsync() is { } sent)
            {
                await (_looking?.Invoke(sent, passing) ?? passing.ForwardAsync());
            }
        }
        catch (Exception problem) when (problem is SocketException or ObjectDisposedException)
        {
            // One of them is gone.
        }
        if (passing.IsCutByAnswer)
        {
            await passing.AnsweredAsync();
        }
        passing.CutBoth();
    }

    /// <summary>One connection, and what its client has just sent.</summary>
    private sealed class Passing(Socket client, Socket server)
    {
        private readonly byte[] _sent = new byte[64 * 1024];
        private readonly TaskCompletionSource _answered = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private int _length;

        /// <summary>Whether the client does not hear the server any more.</summary>
        public bool IsMute { get; set; }

        /// <summary>Whether the next part of an answer is the last that it hears.</summary>
        public bool IsCutByAnswer { get; set; }

        public async Task<string?> ReadAsync()
        {
            _length = await client.ReceiveAsync(_sent);
            return _length == 0 ? null : Encoding.UTF8.GetString(_sent, 0, _length);
        }

        public async Task ForwardAsync() => await server.SendAsync(_sent.AsMemory(0, _length));

        public Task AnsweredAsync() => _answered.Task.WaitAsync(DatabaseTest.Patience);

        public void CutClient() => client.Dispose();

        public void CutBoth()
        {
            client.Dispose();
            server.Dispose();
        }

        public async Task AnswerAsync()
        {
            var answer = new byte[64 * 1024];
            try
            {
                int length;
                while ((length = await server.ReceiveAsync(answer)) > 0)
                {
                    if (IsMute)
                    {
                        _answered.TrySetResult();
                    }
                    else
                    {
                        if (IsCutByAnswer)
                        {
                            // All that there is to be sent is sent.
                            await Task.Delay(50);
                            IsMute = true;
                        }
                        await client.SendAsync(answer.AsMemory(0, length));
                        if (IsMute)
                        {
                            CutClient();
                        }
                    }
                }
            }
            catch (Exception problem) when (problem is SocketException or ObjectDisposedException)
            {
                // One of them is gone.
            }
            _answered.TrySetResult();
            if (!IsMute)
            {
                CutBoth();
            }
        }
    }
}
